# docs/reference/nixos-options.md as text, made of the option declarations.
{ pkgs }:
let
  inherit (pkgs) lib;
  declared = lib.evalModules {
    modules = [
      ./modules/options.nix
      {
        config._module.args = { inherit pkgs; };
        # What a default refers to.
        options.networking.hostName = lib.mkOption {
          internal = true;
          visible = false;
        };
      }
    ];
  };
  options = lib.filter (option: lib.hasPrefix "services.fairway" option.name && option.visible) (
    lib.optionAttrSetToDocList declared.options
  );

  code =
    value:
    if value._type or "" == "literalMD" then
      value.text
    else
      let
        text = lib.trim (value.text or (lib.generators.toPretty { } value));
      in
      if lib.hasInfix "\n" text then "\n\n```nix\n${text}\n```" else "`${text}`";
  field = name: value: "*${name}:* ${value}";
  section =
    option:
    lib.concatStringsSep "\n\n" (
      [
        "## `${option.name}`"
        (lib.trim (option.description.text or option.description))
        (field "Type" option.type)
      ]
      ++ lib.optional (option ? default) (field "Default" (code option.default))
      ++ lib.optional (option ? example) (field "Example" (code option.example))
      ++ lib.optional option.readOnly "*Read only.*"
    );
in
''
  # NixOS options

  What the module `services.fairway` takes. How to use it: [NixOS](../how-to/nixos.md).

  <!-- generated from nix/modules/options.nix by nix/check --bless -->

  ${lib.concatMapStringsSep "\n\n" section options}
''
