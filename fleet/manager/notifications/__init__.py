"""Notifications to people who look at no screen: what they are told, and how it gets to them."""
