"""Audio and video: sources, transforms, newest-frame delivery."""
