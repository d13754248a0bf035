"""The verbs of vision-language models: `ask`, and the evaluations of detection, captions and answers."""
