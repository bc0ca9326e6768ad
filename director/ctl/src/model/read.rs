//! The model, of the objects that the director has on the bus.

use super::*;

impl Director {
    /// Reads the properties of the root object and of all objects below it.
    ///
    /// # Errors
    /// A property is missing or of another type: another version of the director.
    pub fn new(manager: Properties, mut objects: ManagedObjects) -> anyhow::Result<Self> {
        let mut manager = Object { path: "the root object".to_owned(), properties: manager };
        let (mut groups, mut instances) = (take(&mut objects, GROUP), take(&mut objects, INSTANCE));
        let (mut services, mut servers) = (take(&mut objects, SERVICE), take(&mut objects, SERVER));
        let groups = groups.drain().map(|(_, mut o)| Group::new(&mut o, &mut instances));
        let sessions = take(&mut objects, BFD).into_values().map(BfdSession::new);
        let services = services.drain().map(|(_, mut o)| Service::new(&mut o, &mut servers));
        Ok(Self {
            version: manager.get("Version")?,
            host: manager.get("Host")?,
            cluster: manager.get("Cluster")?,
            generation: manager.get("Generation")?,
            config_file: manager.get("ConfigFile")?,
            last_reload_error: manager.get("LastReloadError")?,
            notifications: manager
                .get::<Vec<(String, String, u64, u64, u64, u64, u64, String)>>("Notifications")?
                .into_iter()
                .map(Notification::from)
                .collect(),
            groups: sorted(groups, |g| &g.name)?,
            bfd: sorted(sessions, |s| &s.name)?,
            services: sorted(services, |s| &s.name)?,
        })
    }
}

impl Group {
    /// The masters that its instances know, each once.
    pub fn masters(&self) -> String {
        let known = self.instances.iter().map(|i| i.master_address.as_str()).filter(|a| !a.is_empty());
        known.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
    }

    /// How long it has been in its state.
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(UNIX_EPOCH + Duration::from_micros(self.since_usec)).unwrap_or_default()
    }

    fn new(object: &mut Object, instances: &mut Objects) -> anyhow::Result<Self> {
        let own = object.children("Instances", instances)?;
        let trackers: Vec<(String, String, String, i32, String)> = object.get("Trackers")?;
        Ok(Self {
            name: object.get("Name")?,
            state: object.get("State")?,
            since_usec: object.get("Since")?,
            cause: object.get("Cause")?,
            forced: object.get("Forced")?,
            routes: object.get("Routes")?,
            missing_routes: object.get("MissingRoutes")?,
            instances: sorted(own.into_iter().map(Instance::new), |i| &i.name)?,
            trackers: trackers.into_iter().map(Tracker::from).collect(),
            path: object.path.clone(),
        })
    }
}

impl Instance {
    fn new(mut object: Object) -> anyhow::Result<Self> {
        let others: Vec<(String, String, u64, u64)> = object.get("OtherRouters")?;
        Ok(Self {
            name: object.get("Name")?,
            state: object.get("State")?,
            interface: object.get("Interface")?,
            family: object.get("Family")?,
            vrid: object.get("Vrid")?,
            version: object.get("Version")?,
            priority: object.get("Priority")?,
            base_priority: object.get("BasePriority")?,
            advert_interval_usec: object.get("AdvertInterval")?,
            master_address: object.get("MasterAddress")?,
            master_priority: object.get("MasterPriority")?,
            addresses_at: object.get("AddressesAt")?,
            virtual_addresses: object.get("VirtualAddresses")?,
            excluded_addresses: object.get("ExcludedAddresses")?,
            virtual_mac: object.get("VirtualMac")?,
            virtual_mac_interface: object.get("VirtualMacInterface")?,
            other_routers: others.into_iter().map(OtherRouter::from).collect(),
            path: object.path,
        })
    }
}

impl BfdSession {
    fn new(mut object: Object) -> anyhow::Result<Self> {
        Ok(Self {
            name: object.get("Name")?,
            state: object.get("State")?,
            remote_state: object.get("RemoteState")?,
            diagnostic: object.get("Diagnostic")?,
            remote_diagnostic: object.get("RemoteDiagnostic")?,
            discriminator: object.get("Discriminator")?,
            remote_discriminator: object.get("RemoteDiscriminator")?,
            transmit_interval_usec: object.get("TransmitInterval")?,
            detection_time_usec: object.get("DetectionTime")?,
            path: object.path,
        })
    }
}

impl Service {
    fn new(object: &mut Object, servers: &mut Objects) -> anyhow::Result<Self> {
        let own = object.children("RealServers", servers)?;
        Ok(Self {
            name: object.get("Name")?,
            address: object.get("Address")?,
            port: object.get("Port")?,
            protocol: object.get("Protocol")?,
            scheduler: object.get("Scheduler")?,
            kernel_error: object.get("KernelError")?,
            quorum: object.get("Quorum")?,
            sorry: object.get("Sorry")?,
            servers: sorted(own.into_iter().map(Server::new), |s| &s.name)?,
            path: object.path.clone(),
        })
    }
}

impl Server {
    fn new(mut object: Object) -> anyhow::Result<Self> {
        let in_table: bool = object.get("InTable")?;
        let effective_weight: u32 = object.get("EffectiveWeight")?;
        Ok(Self {
            name: object.get("Name")?,
            address: object.get("Address")?,
            port: object.get("Port")?,
            forward: object.get("Forward")?,
            weight: object.get("Weight")?,
            effective_weight: in_table.then_some(effective_weight),
            health: object.get("Health")?,
            detail: object.get("Detail")?,
            drained: object.get("Drained")?,
            order: object.get("Order")?,
            order_until_usec: object.get("OrderUntil")?,
            drain_deadline_usec: object.get("DrainDeadline")?,
            path: object.path,
        })
    }
}

type Objects = HashMap<String, Object>;

/// One interface of one object.
struct Object {
    path: String,
    properties: Properties,
}

impl Object {
    fn get<T>(&mut self, name: &str) -> anyhow::Result<T>
    where
        T: TryFrom<OwnedVariant>,
        T::Error: std::error::Error + Send + Sync + 'static,
    {
        let other = || format!("the director is of another version than fairwayctl: {name} of {}", self.path);
        let value = self.properties.remove(name).ok_or_else(|| anyhow!("no such property"));
        value.and_then(|value| T::try_from(value).map_err(anyhow::Error::from)).with_context(other)
    }

    /// The objects that the property `name` lists, without those a reload has just removed.
    fn children(&mut self, name: &str, objects: &mut Objects) -> anyhow::Result<Vec<Object>> {
        let paths: Vec<OwnedObjectPath> = self.get(name)?;
        Ok(paths.iter().filter_map(|path| objects.remove(path.as_str())).collect())
    }
}

fn take(objects: &mut ManagedObjects, interface: &str) -> Objects {
    let mut found = Objects::new();
    for (path, interfaces) in objects {
        if let Some(properties) = interfaces.remove(interface) {
            found.insert(path.to_string(), Object { path: path.to_string(), properties });
        }
    }
    found
}

fn sorted<T>(
    items: impl Iterator<Item = anyhow::Result<T>>,
    name: impl Fn(&T) -> &String,
) -> anyhow::Result<Vec<T>> {
    let mut items: Vec<T> = items.collect::<Result<_, _>>()?;
    items.sort_by(|a, b| name(a).cmp(name(b)));
    Ok(items)
}
