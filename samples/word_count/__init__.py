"""Count the words of the books in a folder: one program in four stages, from plain lists to a guarded stream, and to flow text."""
