"""Images arranged: side by side, in grids, on contact sheets, above legends, as animations."""
