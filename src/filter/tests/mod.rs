//! The compiler as a whole, against [`Policy::evaluate`].

use super::*;

mod listing;
mod operators;
mod profiles;
mod property;
