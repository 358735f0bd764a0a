//! Query and form parameters, bounded in number.

use url::form_urlencoded;

use crate::Error;

/// More than any client sends, less than would cost anything.
const COUNT_MAX: usize = 256;

/// Decoded parameters in the order of the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// From `application/x-www-form-urlencoded` bytes. Parameters beyond the limit are not read.
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(encoded).into_owned().take(COUNT_MAX);
        Self(pairs.collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a parameter; an empty one counts as missing (RFC 6749 §3.1).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
            .filter(|v| !v.is_empty())
    }

    /// [`Self::get`] of a parameter that must be there.
    pub(crate) fn require(&self, name: &'static str) -> Result<&str, Error> {
        self.get(name).ok_or(Error::ParameterMissing { name })
    }

    /// Refuses a request that has one of `names` twice (RFC 6749 §3.1).
    pub(crate) fn refuse_repeats(&self, names: &[&str]) -> Result<(), Error> {
        for name in names {
            if self.iter().filter(|(n, _)| n == name).count() > 1 {
                return Err(Error::ParameterRepeated {
                    name: (*name).to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Takes a parameter out.
    pub(crate) fn remove(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.remove(index).1)
    }
}
