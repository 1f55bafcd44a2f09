//! The values that an application stores in a session: one of each type.

use std::any::{Any, TypeId};
use std::fmt;

use crate::sync::{Arc, Mutex, lock};

/// The application's own values of one session, one of each type. A [`Configurator`](crate::endpoint::Configurator) can insert
/// values for the endpoint. They stay readable after the close, as long as a handle of the session exists. So a value
/// must not hold a handle of its own session: that would never be freed.
///
/// A clone holds the same values, and is independent from then on.
///
/// ```
/// use sockeye::endpoint::Properties;
///
/// #[derive(Debug, PartialEq)]
/// struct Nick(String);
///
/// let properties = Properties::default();
/// properties.insert(Nick("ann".to_owned()));
/// assert_eq!(*properties.get::<Nick>().unwrap(), Nick("ann".to_owned()));
/// assert!(properties.get::<u32>().is_none());
/// ```
#[derive(Default)]
pub struct Properties(Mutex<Vec<Property>>);

type Property = (TypeId, Value);
type Value = Arc<dyn Any + Send + Sync>;

impl Properties {
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// Returns the value of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let values = lock(&self.0);
        let (_, value) = values.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok()
    }

    /// Inserts a value, and returns the previous value of its type.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let value: Value = Arc::new(value);
        let mut values = lock(&self.0);
        let known = values.iter_mut().find(|(id, _)| *id == TypeId::of::<T>());
        let before = match known {
            Some((_, known)) => Some(std::mem::replace(known, value)),
            None => {
                values.push((TypeId::of::<T>(), value));
                None
            }
        };
        // Unlocked before the previous value is dropped: its `Drop` is the application's, and may call a method of
        // `self`.
        drop(values);
        before?.downcast().ok()
    }

    /// Removes the value of this type, and returns it.
    pub fn remove<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let mut values = lock(&self.0);
        let at = values.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        let (_, value) = values.swap_remove(at);
        drop(values);
        value.downcast().ok()
    }
}

impl Clone for Properties {
    fn clone(&self) -> Self {
        Self(Mutex::new(lock(&self.0).clone()))
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Properties")
            .field("len", &lock(&self.0).len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_value_of_each_type_and_the_one_before_is_given_back() {
        let properties = Properties::default();
        assert!(properties.insert("first").is_none());
        assert!(properties.insert(1).is_none());
        assert_eq!(properties.insert("second").as_deref(), Some(&"first"));
        assert_eq!(properties.get::<&str>().as_deref(), Some(&"second"));
        assert_eq!(properties.remove::<i32>().as_deref(), Some(&1));
        assert!(properties.get::<i32>().is_none());
        assert!(properties.remove::<i32>().is_none());
    }

    #[test]
    fn a_clone_has_the_same_values_and_is_independent() {
        let properties = Properties::default();
        properties.insert(String::from("shared"));
        let clone = properties.clone();
        let (one, other) = (properties.get::<String>(), clone.get::<String>());
        assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
        clone.insert(1);
        clone.remove::<String>();
        assert!(properties.get::<i32>().is_none());
        assert!(properties.get::<String>().is_some());
    }

    #[test]
    fn a_value_whose_drop_comes_back_here_does_not_hang() {
        struct Nosy(Arc<Properties>);

        impl Drop for Nosy {
            fn drop(&mut self) {
                self.0.insert("dropped");
            }
        }

        let properties = Arc::new(Properties::default());
        properties.insert(Nosy(Arc::clone(&properties)));
        drop(properties.remove::<Nosy>());
        assert_eq!(properties.get::<&str>().as_deref(), Some(&"dropped"));
    }
}
