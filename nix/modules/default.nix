# nixosModules by name. As paths, so that importing one twice is importing it once.
{
  default = ./fairway.nix;
  director = ./director.nix;
  real-server = ./real-server.nix;
}
