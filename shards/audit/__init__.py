"""Audit of corpora: duplicates, leaks between splits, odd annotations, licence conflicts.

Not re-exported by `shards`, whose readers need no scipy.
"""

from shards.audit_config import AuditConfig

from .corpus_audit import EXCLUDED_NAME, Audit, audit_corpora

__all__ = ["EXCLUDED_NAME", "Audit", "AuditConfig", "audit_corpora"]
