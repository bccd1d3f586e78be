variable "name" {
  description = "Name of the container, and of the volume of its data."
  type        = string
  default     = "bulla-proxy"
  validation {
    condition     = can(regex("^[a-zA-Z0-9][a-zA-Z0-9_.-]*$", var.name))
    error_message = "A name has letters, digits, and _.- after the first of them."
  }
}

variable "image" {
  description = "Image of the program, built with deploy/Dockerfile. Name it by digest where it comes from a registry."
  type        = string
  default     = "bulla"
}

variable "rekor_url" {
  description = "Log that tags are recorded in: any that speaks the API of Rekor v1 and can be searched."
  type        = string
  validation {
    condition     = can(regex("^https?://[^/]+", var.rekor_url))
    error_message = "A URL such as https://rekor.example.org was expected."
  }
}

variable "trusted_root" {
  description = "Whom to believe: the content of a trusted_root.json that has the log's key. Without it the log at rekor_url is a `bulla serve` or `bulla up`, and is asked for it."
  type        = string
  default     = null
  validation {
    condition     = var.trusted_root == null || can(jsondecode(var.trusted_root))
    error_message = "The content of a trusted_root.json was expected, such as file(\"trusted_root.json\")."
  }
}

variable "upstream" {
  description = "The one registry that is served, or a part of it such as ghcr.io/org. Without it, that which the path or ?ns= names."
  type        = string
  default     = null
}

variable "registries" {
  description = "Registries that may be asked although they are not on the internet, such as registry.lan:5000."
  type        = list(string)
  default     = []
}

variable "only_named" {
  description = "Serve no other registries than those in registries and upstream."
  type        = bool
  default     = false
  validation {
    condition     = !var.only_named || var.upstream != null || length(var.registries) > 0
    error_message = "only_named names nobody: set upstream or registries."
  }
}

variable "upstream_as" {
  description = "As whom registries are asked: anonymous, or client, whose own credentials are handed on."
  type        = string
  default     = "anonymous"
  validation {
    condition     = contains(["anonymous", "client"], var.upstream_as)
    error_message = "One of anonymous or client was expected."
  }
}

variable "tag_policy" {
  description = "Rules for tags: TOML, see docs/guide-proxy.md. Without it every tag is enforced, but for those that move by design."
  type        = string
  default     = null
}

variable "verify_policy" {
  description = "By whom images must be signed to be served: TOML, see docs/guide-proxy.md."
  type        = string
  default     = null
}

variable "approver_keys" {
  description = "Public keys, in PEM, of those who may approve that a tag moves. Without one, and no identity, no tag moves."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for key in var.approver_keys : can(regex("^-----BEGIN PUBLIC KEY-----", key))])
    error_message = "Public keys in PEM were expected, such as file(\"approver.pub\")."
  }
}

variable "approver_identities" {
  description = "Names and issuers of those who may approve that a tag moves, as SUBJECT=ISSUER."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for identity in var.approver_identities : can(regex("^.+=https?://.+$", identity))])
    error_message = "SUBJECT=ISSUER was expected, such as alice@example.org=https://accounts.example.org."
  }
}

variable "recorder_keys" {
  description = "Public keys, in PEM, of other proxies whose records count: those on the same log, and those that this one had before."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for key in var.recorder_keys : can(regex("^-----BEGIN PUBLIC KEY-----", key))])
    error_message = "Public keys in PEM were expected, such as file(\"proxy.pub\")."
  }
}

variable "unknown" {
  description = "What happens to a tag that is not known while the log cannot be asked: refuse, or warn."
  type        = string
  default     = "refuse"
  validation {
    condition     = contains(["refuse", "warn"], var.unknown)
    error_message = "One of refuse or warn was expected."
  }
}

variable "manifest_cache" {
  description = "Memory for manifests, such as 32MiB; 0 keeps none."
  type        = string
  default     = "32MiB"
}

variable "new_tags_per_address" {
  description = "Tags that one address may have recorded for the first time in a minute; 0 sets no limit."
  type        = number
  default     = 60
  validation {
    condition     = var.new_tags_per_address >= 0 && floor(var.new_tags_per_address) == var.new_tags_per_address
    error_message = "A whole number from 0 was expected."
  }
}

variable "recheck" {
  description = "How long a known tag is served before the log is asked whether it moved elsewhere, such as 10m."
  type        = string
  default     = "10m"
}

variable "trusted_proxies" {
  description = "Proxies in front of this one, addresses or networks, that say for whom they speak."
  type        = list(string)
  default     = []
}

variable "listen_address" {
  description = "Address of the host where the proxy is reached. It speaks plain HTTP and asks nobody who they are: put TLS in front of it for others than this machine."
  type        = string
  default     = "127.0.0.1"
}

variable "port" {
  description = "Port of the host where the proxy is reached."
  type        = number
  default     = 5050
  validation {
    condition     = var.port >= 1 && var.port <= 65535 && floor(var.port) == var.port
    error_message = "A port from 1 to 65535 was expected."
  }
}

variable "network" {
  description = "Network of Docker that the container joins, where the log is on one. Without it, the default one."
  type        = string
  default     = null
}

variable "memory" {
  description = "Memory of the container, in MB."
  type        = number
  default     = 256
  validation {
    condition     = var.memory >= 128
    error_message = "At least 128 MB are needed."
  }
}
