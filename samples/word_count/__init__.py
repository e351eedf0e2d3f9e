"""Count the words of the books in a folder: one program in three stages, from plain lists to a guarded stream."""
