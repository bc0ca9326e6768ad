//! Keeps the objects of one kind on the bus equal to what a status says.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use zbus::object_server::{Interface, SignalEmitter};
use zbus::{Connection, ObjectPath, Variant, fdo};

use super::core::Core;

/// State that an object on the bus shows and [`Level::put`] updates.
#[derive(Debug)]
pub struct Shared<T>(Arc<RwLock<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    /// State to be shared.
    pub fn new(state: T) -> Self {
        Self(Arc::new(RwLock::new(state)))
    }

    /// Looks at the state.
    pub fn get<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, state: T) -> T {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), state)
    }
}

/// Properties by their D-Bus names, always the same ones in the same order.
pub type Properties = Vec<(&'static str, Variant<'static>)>;

/// A status that is shown as a D-Bus object.
pub trait Published: Clone + PartialEq + Send + Sync + 'static {
    /// The object.
    type Object: Interface;
    /// Tells the objects of this kind apart.
    type Key: Clone + Ord + Send + Sync;

    /// Where the object is.
    fn path(key: &Self::Key) -> String;
    /// A new object that shows `state`.
    fn object(key: &Self::Key, state: Shared<Self>, core: &Core) -> Self::Object;
    /// The properties that can change while the object exists.
    fn properties(&self, key: &Self::Key) -> Properties;
}

/// The objects of one kind that are on the bus.
#[derive(Debug)]
pub struct Level<T: Published> {
    objects: BTreeMap<T::Key, Shared<T>>,
}

impl<T: Published> Default for Level<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new() }
    }
}

impl<T: Published> Level<T> {
    /// Takes objects that are no longer wanted off the bus.
    pub async fn prune(&mut self, bus: &Connection, wanted: impl Fn(&T::Key) -> bool) -> zbus::Result<()> {
        let gone: Vec<_> = self.objects.keys().filter(|key| !wanted(key)).cloned().collect();
        for key in gone {
            self.objects.remove(&key);
            bus.object_server().remove::<T::Object, _>(T::path(&key)).await?;
        }
        Ok(())
    }

    /// Puts a new object on the bus, or tells the bus what has changed about a known one.
    pub async fn put(&mut self, bus: &Connection, core: &Core, key: T::Key, state: &T) -> zbus::Result<()> {
        let Some(shared) = self.objects.get(&key) else {
            let shared = Shared::new(state.clone());
            let object = T::object(&key, shared.clone(), core);
            bus.object_server().at(T::path(&key), object).await?;
            self.objects.insert(key, shared);
            return Ok(());
        };
        if shared.get(|known| known == state) {
            return Ok(());
        }
        let old = shared.replace(state.clone());
        let changed: HashMap<_, _> = old
            .properties(&key)
            .into_iter()
            .zip(state.properties(&key))
            .filter(|(old, new)| old != new)
            .map(|(_, new)| new)
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let emitter = SignalEmitter::new(bus, T::path(&key))?;
        fdo::Properties::properties_changed(&emitter, T::Object::name(), changed, Cow::Borrowed(&[])).await
    }
}

/// A list of object paths as a property value.
pub fn paths(paths: impl Iterator<Item = String>) -> Vec<ObjectPath<'static>> {
    paths.filter_map(|path| ObjectPath::try_from(path).ok()).collect()
}
