//! Signed records, receipts and the views computed from them
