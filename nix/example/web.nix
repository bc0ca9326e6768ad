# A web server that passes the example's health check.
{ config, ... }:
{
  services.nginx = {
    enable = true;
    virtualHosts.default = {
      default = true;
      locations."= /healthz".return = "200 ok";
      locations."/".return = "200 ${config.networking.hostName}";
    };
  };
}
