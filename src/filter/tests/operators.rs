//! Every operator.
