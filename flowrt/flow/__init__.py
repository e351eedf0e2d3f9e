"""What is drawn: operations, streams and flows in flows; their text, what is wrong with them, pictures of them. Nothing runs here."""
