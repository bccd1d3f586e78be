output "address" {
  description = "Where images are pulled from: docker pull ADDRESS/alpine:3.20."
  value       = "${var.listen_address}:${var.port}"
}

output "container" {
  description = "Name of the container."
  value       = docker_container.proxy.name
}

output "volume" {
  description = "Volume with the proxy's key (proxy.key, proxy.pub) and what it knows of tags."
  value       = docker_volume.data.name
}

output "environment" {
  description = "What the program is told in its environment."
  value       = local.environment
}
