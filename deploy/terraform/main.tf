# A tag proxy by itself, on a host with Docker, for a log that is elsewhere.
terraform {
  required_version = ">= 1.9"
  required_providers {
    docker = {
      source  = "kreuzwerker/docker"
      version = "~> 3.0"
    }
  }
}

# The proxy's key is in it. Without that key its records are those of another: keep a copy.
resource "docker_volume" "data" {
  name = "${var.name}-data"
  lifecycle {
    prevent_destroy = true
  }
}

resource "docker_container" "proxy" {
  name    = var.name
  image   = var.image
  command = local.command
  env     = [for name, value in local.environment : "${name}=${value}"]
  memory  = var.memory
  restart = "unless-stopped"
  # Healthy is what the image's own check finds.
  wait          = true
  wait_timeout  = 60
  stop_timeout  = 30
  security_opts = ["no-new-privileges:true"]

  capabilities {
    drop = ["ALL"]
  }

  ports {
    internal = 5050
    external = var.port
    ip       = var.listen_address
  }

  volumes {
    volume_name    = docker_volume.data.name
    container_path = "/data"
  }

  dynamic "networks_advanced" {
    for_each = var.network == null ? [] : [var.network]
    content {
      name = networks_advanced.value
    }
  }

  dynamic "upload" {
    for_each = local.files
    content {
      file    = upload.key
      content = upload.value
    }
  }
}
