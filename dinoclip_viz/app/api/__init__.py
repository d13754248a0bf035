"""The API for programs and assistants: typed endpoints with named results, MCP, and the routes that are served."""
