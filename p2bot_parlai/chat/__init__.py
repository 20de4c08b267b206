"""Conversations with a trained bot."""
