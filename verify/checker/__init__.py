"""The trusted base: judges certificates, and imports nothing else of this project."""
