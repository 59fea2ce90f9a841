"""What an entry leaves behind, read off its trace: file paths, files and figures."""
