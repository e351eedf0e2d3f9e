"""What decides: it moves messages, keeps the books and says who is called next. It knows no thread, clock, queue, log or I/O."""
