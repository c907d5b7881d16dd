"""Files that people have for BERT's tasks, read into examples; what is wrong in them is named by file and line."""
