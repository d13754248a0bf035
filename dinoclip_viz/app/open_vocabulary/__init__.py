"""The tab of open-vocabulary heat maps and segmentation."""
