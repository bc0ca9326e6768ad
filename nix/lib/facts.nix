# What can be known of a topology at evaluation time: who does what, which ports and which files. Everything that is
# derived is fairway-gen's, which runs in a derivation; only assertions, host names and ports of the hosts' own
# firewall are taken from here.
{ lib }:
topology:
let
  # A list of names, or a table by name.
  names =
    value:
    if lib.isAttrs value then
      lib.attrNames value
    else if lib.isList value then
      lib.filter lib.isString value
    else
      [ ];

  # Subtables of a table; what is no table is left to fairway-gen to complain about.
  tables = value: if lib.isAttrs value then lib.filterAttrs (_: lib.isAttrs) value else { };

  groups = tables (topology.failover or { });
  services = tables (topology.services or { });
  hosts = tables (topology.hosts or { });

  directors = lib.unique (
    lib.concatMap (table: names (table.directors or [ ])) (
      lib.attrValues groups ++ lib.attrValues services
    )
  );
  realServers = lib.unique (
    lib.concatMap (service: names (service.real-servers or { })) (lib.attrValues services)
  );

  withoutPrefix = address: lib.head (lib.splitString "/" address);

  # Name to address.
  virtualIps = lib.mapAttrs (
    _: vip: withoutPrefix (if lib.isAttrs vip then vip.address or "" else toString vip)
  ) (topology.virtual-ips or { });

  # Every `key-file` below a value.
  keyFilesBelow =
    value:
    if lib.isAttrs value then
      lib.concatLists (
        lib.mapAttrsToList (
          key: below: if key == "key-file" && lib.isString below then [ below ] else keyFilesBelow below
        ) value
      )
    else if lib.isList value then
      lib.concatMap keyFilesBelow value
    else
      [ ];

  # "shop:80" and "[2001:db8::1]:8000-8010" to port ranges; null is a form that is not known here.
  portRanges =
    listen:
    let
      port = lib.last (lib.splitString ":" listen);
      range =
        part:
        let
          numbers = builtins.match "([0-9]+)(-([0-9]+))?" part;
          from = lib.toIntBase10 (lib.elemAt numbers 0);
          to = lib.elemAt numbers 2;
        in
        if numbers == null then
          null
        else if from == 0 then
          {
            from = 1;
            to = 65535;
          }
        else
          {
            inherit from;
            to = if to == null then from else lib.toIntBase10 to;
          };
      ranges = map range (lib.splitString "," port);
    in
    if !lib.isString listen || lib.elem null ranges then null else ranges;

  # Ports at which a host serves as real server: [ { service; protocol; ranges; } ], ranges null where they are not known.
  serverPorts =
    host:
    lib.concatLists (
      lib.mapAttrsToList (
        service: table:
        let
          server = (table.real-servers or { }).${host} or null;
          listens = lib.toList (table.listen or [ ]);
          ranges =
            if lib.isAttrs server && server ? port then
              [
                {
                  from = server.port;
                  to = server.port;
                }
              ]
            else
              let
                known = map portRanges listens;
              in
              if lib.elem null known then null else lib.concatLists known;
        in
        lib.optional (server != null) {
          inherit service ranges;
          protocol = table.protocol or "tcp";
        }
      ) (lib.filterAttrs (_: table: lib.isAttrs (table.real-servers or null)) services)
    );

  # The tunnels that end at a host: as written, { type; port; ... }.
  tunnelsTo =
    host:
    map
      (
        service:
        let
          tunnel = service.tunnel or "ipip";
        in
        if lib.isAttrs tunnel then tunnel else { type = tunnel; }
      )
      (
        lib.filter (
          service: service.forward or "" == "tunnel" && lib.elem host (names (service.real-servers or { }))
        ) (lib.attrValues services)
      );

  # Interfaces of a host whose addresses the generated files set.
  managedInterfaces =
    host:
    lib.attrNames (
      lib.filterAttrs (_: interface: interface.manage or true) (tables (hosts.${host}.interfaces or { }))
    );

  # A host's own addresses.
  addresses =
    host:
    map withoutPrefix (
      lib.concatMap (interface: lib.filter lib.isString (lib.toList (interface.addresses or [ ]))) (
        lib.attrValues (tables (hosts.${host}.interfaces or { }))
      )
    );
in
{
  inherit
    addresses
    directors
    managedInterfaces
    realServers
    serverPorts
    tunnelsTo
    virtualIps
    ;
  hosts = lib.attrNames hosts;
  isDirector = host: lib.elem host directors;
  isRealServer = host: lib.elem host realServers;
  # The files with passwords and keys that a host reads as director.
  keyFilesOf =
    host:
    lib.unique (
      lib.concatMap keyFilesBelow (
        lib.filter (group: lib.elem host (names (group.directors or [ ]))) (lib.attrValues groups)
      )
    );
}
