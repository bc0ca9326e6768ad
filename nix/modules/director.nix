# The module, for a host that must be a director.
{
  imports = [ ./fairway.nix ];
  services.fairway.mustBe = "director";
}
