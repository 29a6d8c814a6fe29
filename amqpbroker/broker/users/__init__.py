"""Users, passwords, permissions and logins."""
