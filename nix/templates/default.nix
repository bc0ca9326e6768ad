# For `nix flake init -t`.
let
  direct = {
    path = ./two-directors;
    description = "Two directors and two web servers, direct routing, from one topology file";
  };
in
{
  default = direct;
  two-directors = direct;
}
