//! ProjectWise Web Services Gateway (WSG), v2.0 to v2.8.
