"""The checkpoint passport: issued, validated, signed, enforced."""
