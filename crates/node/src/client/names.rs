//! How commands name groups and users: the chosen name, or `name#tag` for one that lost a name to somebody else.

use std::fmt;
use std::str::FromStr;

use peerage_types::{FoldedName, Name, NameError};

/// Longest tag that is accepted: base32 of five bytes.
const TAG_CHARS: usize = 8;

/// The part that both kinds of reference share.
#[derive(Clone, PartialEq, Eq)]
struct Reference {
    name: Name,
    tag: Option<String>,
}

impl FromStr for Reference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (name, tag) = match text.split_once('#') {
            Some((name, tag)) => (name, Some(tag.to_ascii_lowercase())),
            None => (text, None),
        };
        let valid = |t: &String| t.len() == TAG_CHARS && t.bytes().all(|b| b.is_ascii_alphanumeric());
        if tag.as_ref().is_some_and(|t| !valid(t)) {
            // The name's own error names what was given.
            return Err(text.parse::<Name>().err().unwrap_or_else(|| NameError::Name(name.to_owned())));
        }
        Ok(Self { name: name.parse()?, tag })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag {
            Some(tag) => write!(f, "{}#{tag}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

macro_rules! reference {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $type(Reference);

        impl $type {
            /// The name without a tag, in the form that is compared.
            pub fn folded(&self) -> FoldedName {
                self.0.name.folded()
            }

            /// The tag, if one was given.
            pub fn tag(&self) -> Option<&str> {
                self.0.tag.as_deref()
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                text.parse().map(Self)
            }
        }

        impl From<Name> for $type {
            fn from(name: Name) -> Self {
                Self(Reference { name, tag: None })
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({:?})"), self.to_string())
            }
        }
    };
}

reference!(
    /// A group as a command names it.
    GroupRef
);
reference!(
    /// A user as a command names them.
    UserRef
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_tags() {
        let plain: GroupRef = "Films".parse().unwrap();
        assert_eq!((plain.folded().as_str(), plain.tag()), ("films", None));
        let tagged: UserRef = "ada#K3EMFEQB".parse().unwrap();
        assert_eq!(tagged.to_string(), "ada#k3emfeqb");
        for bad in ["", "#aaaaaaaa", "ada#", "ada#short", "a b", "ada#aaaaaaa!", "a#b#c"] {
            assert!(bad.parse::<UserRef>().is_err(), "{bad}");
        }
    }
}
