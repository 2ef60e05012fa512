import { fileURLToPath } from "node:url";

/** The CIFAR-10 model that ships with the package. */
export const SHIPPED_MODEL = fileURLToPath(new URL("../../models/cifar10", import.meta.url));

/** The classifier of CIFAR-10 whose features the image study uses. */
export const SHIPPED_FEATURES = fileURLToPath(new URL("../../models/cifar-features", import.meta.url));
