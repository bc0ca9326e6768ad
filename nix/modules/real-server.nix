# The module, for a host that must be a real server.
{
  imports = [ ./fairway.nix ];
  services.fairway.mustBe = "real-server";
}
