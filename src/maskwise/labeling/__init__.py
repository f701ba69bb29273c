"""The labelling page: a person decides what the audit proposes; every decision is kept."""
