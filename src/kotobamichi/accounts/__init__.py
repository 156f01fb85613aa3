"""Accounts: who may use KotobaMichi."""
