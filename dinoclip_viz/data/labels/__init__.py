"""Images with ground truth per pixel: segmentation masks and depth maps."""
