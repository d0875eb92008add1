"""Moments as the API writes them. Pure: the present is always an argument."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def stamp(now: datetime) -> str:
    """Write a moment, in UTC and to the second."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def earlier(text: str, seconds: float) -> str:
    """Write the moment so many seconds before a written one; what cannot be read stays as it is."""
    try:
        return stamp(datetime.fromisoformat(text) - timedelta(seconds=seconds))
    except ValueError:
        return text


def seconds_since(text: str, now: datetime) -> float:
    """Say how long ago a written moment was; what cannot be read is taken for now."""
    try:
        return (now - datetime.fromisoformat(text)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
