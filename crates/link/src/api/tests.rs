use expect_test::{Expect, expect};
