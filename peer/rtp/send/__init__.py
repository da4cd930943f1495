"""What is sent: pictures and sound to packets, within limits, repaired where they get lost."""
