"""The ICE agent."""
