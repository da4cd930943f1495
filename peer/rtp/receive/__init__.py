"""What is received: packets to pictures and sound, through loss, by the clock."""
