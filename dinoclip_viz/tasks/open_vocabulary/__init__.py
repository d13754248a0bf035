"""Open-vocabulary segmentation: text-prompted heat maps, class scores, masks, accuracy."""
