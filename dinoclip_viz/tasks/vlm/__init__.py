"""Measures of vision-language models: captions, answers, detection, referring expressions and segmentation."""
