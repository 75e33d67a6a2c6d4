//! Listings of small policies.
