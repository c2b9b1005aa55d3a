// What the page of the service and the offline page have in common: what they say, and photos from a file, the clipboard,
// a drop or the camera. The page's own script has `take(file)` and CAMERA_SHOWN, which says where browsers allow a camera.

const find = (id) => document.getElementById(id);
const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

function say(text) {
  find("status").textContent = text;
}

function complain(error) {
  find("problem").textContent = error ? error.message : "";
  find("problem").hidden = !error;
}

// --- Photo ------------------------------------------------------------------------------------------------------------

find("file").addEventListener("change", () => find("file").files[0] && take(find("file").files[0]));
addEventListener("paste", (event) => event.clipboardData.files[0] && take(event.clipboardData.files[0]));
addEventListener("dragover", (event) => {
  event.preventDefault();
  find("drop").classList.add("over");
});
addEventListener("dragleave", () => find("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").classList.remove("over");
  if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
});

// --- Camera ----------------------------------------------------------------------------------------------------------

function closeCamera() {
  for (const track of find("video").srcObject?.getTracks() ?? []) track.stop();
  find("video").srcObject = null;
  find("camera").close();
}

find("camera-open").addEventListener("click", async () => {
  complain(null);
  try {
    if (!navigator.mediaDevices) throw new Error(CAMERA_SHOWN);
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
    find("video").srcObject = stream;
    find("camera").showModal();
    await find("video").play();
  } catch (error) {
    complain(new Error(`The camera cannot be used. ${error.message}`));
  }
});
find("camera-take").addEventListener("click", () => {
  const video = find("video");
  const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  closeCamera();
  canvas.toBlob((blob) => take(new File([blob], "camera.png", { type: "image/png" })), "image/png");
});
find("camera-close").addEventListener("click", closeCamera);
find("camera").addEventListener("cancel", closeCamera);
