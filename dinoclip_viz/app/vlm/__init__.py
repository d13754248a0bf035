"""The tab of questions to a vision-language model."""
