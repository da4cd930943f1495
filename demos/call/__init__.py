"""This demonstrates a video call between browsers and a Python program."""
