"""Settings written as text, `a=1;b=2`, become a dictionary: by a flow whose operations all lie in one place, and by one of nested flows."""
