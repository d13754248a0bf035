"""Vision-language models: images that answer questions, with boxes and masks."""
