//! The compiler as a whole, against [`Policy::evaluate`].

use super::*;

mod docker;
mod listing;
mod operators;
mod property;
