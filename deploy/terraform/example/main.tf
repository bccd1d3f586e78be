# A proxy for everything that is pulled from the internet, recorded in a log of one's own: see ../../compose.yaml for one.
#
#     terraform init && terraform apply -var rekor_url=https://log.example.org
variable "rekor_url" {
  description = "The log."
  type        = string
}

provider "docker" {}

module "proxy" {
  source = "../"

  rekor_url     = var.rekor_url
  approver_keys = [for file in fileset(path.module, "approvers/*.pub") : file("${path.module}/${file}")]
  tag_policy    = file("${path.module}/../../tags.toml")
}

output "pull" {
  description = "How an image is pulled through it."
  value       = "docker pull ${module.proxy.address}/alpine:3.20"
}

terraform {
  required_providers {
    docker = {
      source = "kreuzwerker/docker"
    }
  }
}
